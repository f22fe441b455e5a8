"""The UserMappings table: one row a platform user."""
