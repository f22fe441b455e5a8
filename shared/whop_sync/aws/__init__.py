"""SQS and Secrets Manager, and the boundary that maps the errors of AWS to ours."""
