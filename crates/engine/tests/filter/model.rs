//! A naive filter, and traffic at random through both.
