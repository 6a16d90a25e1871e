"""What a node shows: plain values, one class per message of query_service.proto."""
