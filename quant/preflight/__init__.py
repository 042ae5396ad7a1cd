"""Will a vLLM image load this checkpoint, and serve what was trained?"""
