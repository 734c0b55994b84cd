"""Who is behind a pseudonym: the one place where what a person gave of themselves is kept, and can be erased from."""

from processor.profiles.bookmarks import Bookmark
from processor.profiles.pseudonyms import Pseudonyms, site_key
from processor.profiles.shares import Share
from processor.profiles.store import Profile, Profiles, open_profiles, resume_digest

__all__ = ["Bookmark", "Profile", "Profiles", "Pseudonyms", "Share", "open_profiles", "resume_digest", "site_key"]
