"""The commands of the operators' tool: each reads its options, calls one use case and prints what came of it."""
