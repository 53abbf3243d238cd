"""What a reply says of its speaker: normalise, find mentions, decide their roles, combine; and how much it recites."""
