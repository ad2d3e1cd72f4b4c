"""What ``ferengine evaluate-tracking`` measures: who is where, against a truth."""
