"""The vocabulary: words that every other room uses. No I/O, no clock, no decision."""
