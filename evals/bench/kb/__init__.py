"""What the knowledge base's version control costs as it grows."""
