"""Pictures as small files: fitting, coding, decoding."""
