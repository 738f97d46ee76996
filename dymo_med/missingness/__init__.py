"""missingness"""
