"""Providers: which URLs, which JSON, which layouts, which checks apply. They hold wire knowledge and judge nothing."""
