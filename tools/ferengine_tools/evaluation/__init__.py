"""Parts of ``ferengine evaluate`` and ``ferengine compare``: what is measured, on which faces, and how it is shown."""
