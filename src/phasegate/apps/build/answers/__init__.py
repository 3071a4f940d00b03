"""What a model answers, in any of three forms, as one set of changes of whole files. Pure: nothing here touches a disk."""
