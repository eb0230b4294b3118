"""What a mail is: values without I/O (floor 1). Names are those of RFC 5598."""
