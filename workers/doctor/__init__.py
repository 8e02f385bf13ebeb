"""What `mpanel doctor` looks at: settings, stores, providers, and the work itself.

Nothing is changed, but for a probe file in the backup store that is removed again.
"""
