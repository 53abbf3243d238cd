"""What people look at: the terminal tables (the page is a later room)."""
