"""Who somebody is who comes by a browser: passwords, sessions, second factors, and the first start.

Functions of a transaction, as the services are; nothing here knows HTTP.
"""
