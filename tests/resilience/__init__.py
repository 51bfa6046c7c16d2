"""It survives: crashes, full disks, too many clients, and hours of everything at once."""
