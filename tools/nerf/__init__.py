"""Radiance fields from posed photos: training, scores, pictures, videos."""
