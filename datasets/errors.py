"""What can be wrong with a user's data, as named errors: the command line prints their message and exits with 2."""


class DataError(ValueError):
    """Something is wrong with the data that was given; the message says what, where and what to do."""


class MissingFolderError(DataError):
    """The data folder is not there, or is no folder."""


class MissingFileError(DataError):
    """The file is not there, or is a folder."""


class NoPosesError(DataError):
    """The folder has no poses in a format that is read here."""


class FormatError(DataError):
    """A file does not hold what its format asks for."""


class PoseError(DataError):
    """A pose is not a rotation and a position in finite numbers."""


class ImageFileError(DataError):
    """An image cannot be read, or is cut short."""


class ImageSizeError(DataError):
    """An image is of another size than its camera says, or too large."""


class UnsafePathError(DataError):
    """A listed file lies outside the data folder."""


class TooFewImagesError(DataError):
    """Too few images are left to train on."""


class PhotosError(DataError):
    """Photos or a video from which no poses can be found: too few, unreadable, or of nothing in common."""


class VideoFileError(DataError):
    """A file cannot be read as a video."""


class PointCloudError(DataError):
    """Points that no surface can be fitted to: too few, at one place, or on a line."""


class OutputError(DataError):
    """A file or folder cannot be written where it was asked for, or something of the user's is in its place."""


class MissingPackageError(ValueError):
    """An optional package is not installed; the message has the line that installs it."""
