"""`kvasir bench learning`: whether learning helps, whether the gate holds, and what both cost."""
