"""Teachers write the conversations to train on."""
