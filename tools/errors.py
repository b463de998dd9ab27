"""What a command says when it cannot do what was asked."""


class RunError(ValueError):
    """A run folder or a checkpoint is missing, in the way, or not what it should be."""
