"""What people do with their briefings: recording it, counting it, and what is learnt from it."""
