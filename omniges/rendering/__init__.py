"""Motion made visible: the project's own body, videos, exports for other programs, a page."""
