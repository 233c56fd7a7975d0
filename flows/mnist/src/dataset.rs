//! MNIST in memory: images and labels, shards of them, and the sample that ships with the program.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use veilflow_nn::Images;

use crate::idx::{open, read_images, read_labels};
use crate::{Error, Result};

/// Height and width of an image, in pixels.
pub const IMAGE_SIDE: usize = 28;
/// Pixels of an image.
pub const IMAGE_PIXELS: usize = IMAGE_SIDE * IMAGE_SIDE;
/// The number of classes: the ten digits.
pub const CLASSES: usize = 10;

/// Mean and standard deviation of the pixels of MNIST's training images, on a scale from 0 to 1. By these the images
/// are normalised, as is usual for this data set.
const MEAN: f32 = 0.1307;
const DEVIATION: f32 = 0.3081;

static SAMPLE_IMAGES: &[u8] = include_bytes!("../data/mnist-10k/images-idx3-ubyte.gz");
static SAMPLE_LABELS: &[u8] = include_bytes!("../data/mnist-10k/labels-idx1-ubyte.gz");

/// A part of the data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// The images to train on.
    Train,
    /// The images to test on.
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "training",
            Self::Test => "test",
        })
    }
}

/// Training and test images. Cloning, limiting and sharding share the images' memory.
#[derive(Clone, Debug)]
pub struct MnistData {
    /// The images to train on.
    pub train: Shard,
    /// The images to test on.
    pub test: Shard,
}

impl MnistData {
    /// Images of the shipped sample that train; the rest tests.
    pub const SAMPLE_TRAIN: usize = 8_000;

    /// The sample that ships with the program: the first 10,000 training images of MNIST, of which the first
    /// 8,000 train and the last 2,000 test.
    ///
    /// # Errors
    ///
    /// Only if the program itself is damaged.
    pub fn sample() -> Result<Self> {
        let pixels = read_images(SAMPLE_IMAGES, "the built-in sample of images")?;
        let labels = read_labels(SAMPLE_LABELS, "the built-in sample of labels")?;
        let images = Arc::new(Pixels::new(&pixels, labels));
        let part = |split, first, len| Shard { images: Arc::clone(&images), split, first, step: 1, len };
        let test = images.labels.len() - Self::SAMPLE_TRAIN;
        Ok(Self {
            train: part(Split::Train, 0, Self::SAMPLE_TRAIN),
            test: part(Split::Test, Self::SAMPLE_TRAIN, test),
        })
    }

    /// The data set in `directory`, under the names that its authors gave the four files
    /// (`train-images-idx3-ubyte`, …), each plain or with `.gz`.
    ///
    /// # Errors
    ///
    /// If a file is missing, damaged or of another kind, or does not fit the file that belongs to it.
    pub fn read(directory: &Path) -> Result<Self> {
        let part = |split, images_name, labels_name| {
            let (images, images_file) = open(directory, images_name)?;
            let (labels, labels_file) = open(directory, labels_name)?;
            let pixels = read_images(images, &images_file)?;
            let labels = read_labels(labels, &labels_file)?;
            let (count, label_count) = (pixels.len() / IMAGE_PIXELS, labels.len());
            if count != label_count {
                return Err(Error::Mismatch { images_file, images: count, labels_file, labels: label_count });
            }
            if count == 0 {
                return Err(Error::NoImages { file: images_file });
            }
            Ok(Shard { images: Arc::new(Pixels::new(&pixels, labels)), split, first: 0, step: 1, len: count })
        };
        Ok(Self {
            train: part(Split::Train, "train-images-idx3-ubyte", "train-labels-idx1-ubyte")?,
            test: part(Split::Test, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")?,
        })
    }

    /// The data set in `directory`, or the shipped sample if there is none.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn load(directory: Option<&Path>) -> Result<Self> {
        directory.map_or_else(Self::sample, Self::read)
    }

    /// The first images of each part; `None` keeps all.
    ///
    /// # Errors
    ///
    /// If a limit is zero or larger than the part: a run that silently used less than it was told would not
    /// be the run that was asked for.
    pub fn limited(&self, train: Option<usize>, test: Option<usize>) -> Result<Self> {
        let limit = |shard: &Shard, limit: Option<usize>| {
            limit.map_or_else(|| Ok(shard.clone()), |limit| shard.limit(limit))
        };
        Ok(Self { train: limit(&self.train, train)?, test: limit(&self.test, test)? })
    }

    /// The part of one collaborator: every `count`-th image from `index` on, of both parts.
    ///
    /// # Errors
    ///
    /// As [`Shard::shard`].
    pub fn shard(&self, index: usize, count: usize) -> Result<Self> {
        Ok(Self { train: self.train.shard(index, count)?, test: self.test.shard(index, count)? })
    }
}

/// Normalised images, one after the other, and their labels.
struct Pixels {
    pixels: Vec<f32>,
    labels: Vec<u8>,
}

impl Pixels {
    fn new(pixels: &[u8], labels: Vec<u8>) -> Self {
        // The order of operations is torchvision's ToTensor and Normalize, so that the values are theirs.
        let normalised: [f32; 256] = std::array::from_fn(|value| (value as f32 / 255.0 - MEAN) / DEVIATION);
        Self { pixels: pixels.iter().map(|value| normalised[usize::from(*value)]).collect(), labels }
    }
}

/// Some of the images of a part of the data set, at least one, in their order. The images are shared, not copied.
#[derive(Clone)]
pub struct Shard {
    images: Arc<Pixels>,
    split: Split,
    first: usize,
    step: usize,
    len: usize,
}

impl Shard {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no image, which does not happen.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The part of the data set that the images come from.
    pub fn split(&self) -> Split {
        self.split
    }

    /// The normalised pixels of image `number`, row by row: (value / 255 − 0.1307) / 0.3081.
    pub fn image(&self, number: usize) -> Option<&[f32]> {
        let position = self.position(number)?;
        self.images.pixels.get(position * IMAGE_PIXELS..(position + 1) * IMAGE_PIXELS)
    }

    /// The digit that image `number` shows.
    pub fn label(&self, number: usize) -> Option<u8> {
        self.images.labels.get(self.position(number)?).copied()
    }

    fn position(&self, number: usize) -> Option<usize> {
        (number < self.len).then(|| self.first + number * self.step)
    }

    /// The first `limit` images.
    ///
    /// # Errors
    ///
    /// Unless there are that many, and at least one.
    pub fn limit(&self, limit: usize) -> Result<Self> {
        if limit == 0 || limit > self.len {
            return Err(Error::Limit { split: self.split, limit, available: self.len });
        }
        Ok(Self { len: limit, ..self.clone() })
    }

    /// Every `count`-th image from `index` on: `index::count` in Python's notation.
    ///
    /// # Errors
    ///
    /// Unless `index` is less than `count`, and the shard has at least one image.
    pub fn shard(&self, index: usize, count: usize) -> Result<Self> {
        if index >= count || index >= self.len {
            return Err(Error::Shard { split: self.split, index, count, available: self.len });
        }
        Ok(Self {
            images: Arc::clone(&self.images),
            split: self.split,
            first: self.first + index * self.step,
            step: self.step * count,
            len: (self.len - index).div_ceil(count),
        })
    }

    /// The images with these numbers, where they lie.
    pub(crate) fn batch(&self, numbers: Range<usize>) -> Batch<'_> {
        Batch { shard: self, numbers }
    }
}

/// Neighbouring images of a shard.
pub(crate) struct Batch<'a> {
    shard: &'a Shard,
    numbers: Range<usize>,
}

impl Batch<'_> {
    pub(crate) fn labels(&self) -> impl Iterator<Item = u32> {
        self.numbers.clone().filter_map(|number| self.shard.label(number)).map(u32::from)
    }
}

impl Images for Batch<'_> {
    fn len(&self) -> usize {
        self.numbers.len()
    }

    fn image(&self, number: usize) -> &[f32] {
        self.shard.image(self.numbers.start + number).unwrap_or_default()
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the images: they are private to whoever holds them, and many.
        write!(f, "Shard({} {} images)", self.len, self.split)
    }
}
