"""What a member owns: licences and their terms, trials, downloads and installs."""
