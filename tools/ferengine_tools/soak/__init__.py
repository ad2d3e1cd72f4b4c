"""Long runs of the engine that are watched for anything that grows or is lost."""
