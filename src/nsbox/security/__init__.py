"""What a box may do."""
