"""Arms of the paper's, for configurations."""

PAPER = {"name": "paper-latent", "space": "latent", "streams": ["background"], "recipe": "paper"}
ENCODED = PAPER | {"encoder": ["irwvp"]}
