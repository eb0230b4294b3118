"""What must survive: messages, mailboxes, queue and journeys, behind one small database port."""
