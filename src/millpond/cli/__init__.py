"""What a person types; each command is one file that imports what it needs when it is called."""
