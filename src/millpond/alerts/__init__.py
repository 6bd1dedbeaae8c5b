"""What people are told when they must act: events, and the channels they are sent through."""
