"""`kvasir bench mini`: what the reference model does, on its own skills and on questions that nobody here wrote."""
