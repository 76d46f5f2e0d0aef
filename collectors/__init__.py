"""What brings data in: measurements from serving engines (`sources`), invoices from billing exports (`billing`)."""
