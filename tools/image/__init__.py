"""Pictures as fields: fitting, scores, drawing."""
