//! What goes wrong on the way, and what a person is told.
