"""Who: members, users, sign-in, editions, subscriptions, entitlements. It knows no money movement."""
