"""What can be wrong with a task before the chain sees it."""


class PublishingError(ValueError):
    """Images, wishes or files that make no task; the message is one sentence for the publisher."""
