"""data/ukbb"""
