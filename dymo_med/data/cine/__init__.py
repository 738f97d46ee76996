"""data/cine"""
