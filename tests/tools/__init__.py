"""The tools: finding and starting PostgreSQL, deploying, throwing away, and the main job."""
