"""What both ends of a pool connection share: messages, records on the wire, blobs."""
