"""Pictures from addresses that users chose, fetched safely."""
