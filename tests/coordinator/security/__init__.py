"""What an attacker would try at the page."""
