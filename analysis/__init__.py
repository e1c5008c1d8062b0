"""Analyses of logs: labelled arrays in, labelled arrays out. Reads logs only, never models."""
