"""All SQL of Hearline lives in this package."""
