"""AWS: queues, secrets, API Gateway's events, custom resources, and the boundary that maps AWS's errors to ours."""
