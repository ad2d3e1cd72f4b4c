"""``ferengine bench``: what each stage and the whole engine cost on this machine, beside what others do."""
